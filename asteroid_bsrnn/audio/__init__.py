"""Audio files: reading, writing, resampling, ffmpeg, WAV at offsets, SPHERE."""
