"""A minimal writer of shorten streams (version 2, one channel, DIFF0 and DIFF1 blocks with Rice codes), for tests.

References
    Robinson, "SHORTEN: Simple lossless and near-lossless waveform compression", technical report, Cambridge 1994.
"""

import numpy as np

DIFF0, DIFF1, QUIT, BLOCKSIZE = 0, 1, 4, 5
_S16LH = 5  # 16 bit, signed, little endian


class _Bits:
    def __init__(self):
        self.bits = []

    def rice(self, value, k):
        """Unary quotient, then ``k`` bits of the rest."""
        self.bits += [0] * (value >> k) + [1] + [value >> bit & 1 for bit in reversed(range(k))]

    def number(self, value):
        """An unsigned number with its own Rice parameter in front, as version 2 writes its header."""
        k = max(value.bit_length() - 1, 0)
        self.rice(k, 2)
        self.rice(value, k)

    def signed(self, value, k):
        self.rice(value * 2 if value >= 0 else -2 * value - 1, k + 1)

    def to_bytes(self):
        """Whole 32-bit words, most significant bit first."""
        padded = self.bits + [0] * (-len(self.bits) % 32)
        return np.packbits(padded).tobytes()


def shorten(wav, block_len=256, command=DIFF0, k=8):
    """Encode int16 (time,) as a stream that begins with ``ajkg``."""
    out = _Bits()
    for value in (_S16LH, 1, block_len, 0, 0, 0):  # type, channels, block, LPC order, running means, bytes to skip
        out.number(value)
    previous, wav = 0, [int(value) for value in wav]
    for start in range(0, len(wav), block_len):
        block = wav[start : start + block_len]
        if len(block) < block_len:
            out.rice(BLOCKSIZE, 2)
            out.number(len(block))
        out.rice(command, 2)
        out.rice(k, 3)
        for value in block:
            out.signed(value - (previous if command == DIFF1 else 0), k)
            previous = value
    out.rice(QUIT, 2)
    return b"ajkg\x02" + out.to_bytes()
