# docker build -t asteroid_bsrnn .                            CPU
# docker build -t asteroid_bsrnn --build-arg TORCH=cu128 .    CUDA 12.8; any folder of PyTorch's wheels
FROM debian:bookworm-slim
ARG TORCH=cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv python3-dev gcc libc6-dev ffmpeg \
    && rm -rf /var/lib/apt/lists/*
COPY . /opt/asteroid_bsrnn
WORKDIR /opt/asteroid_bsrnn
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt torch --index-url "https://download.pytorch.org/whl/${TORCH}" \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt ".[music]"
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /work
ENTRYPOINT ["asteroid-bsrnn"]
CMD ["--help"]
