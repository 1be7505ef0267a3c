# docker build -t rembg . && docker run -p 5000:5000 rembg
# Keeps jobs and pictures in /data: give it a volume (-v rembg-data:/data). Runs with --read-only too.

FROM python:3.11-slim AS build
ENV PATH=/opt/rembg/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    NUMBA_CACHE_DIR=/opt/rembg/numba \
    NUMBA_CPU_NAME=generic \
    ORT_DISABLE_TELEMETRY=1 \
    REMBG_HOME=/opt/rembg/weights
WORKDIR /opt/rembg/service

COPY requirements.txt ./
RUN python -m venv /opt/rembg/venv && pip install --requirement requirements.txt
# Compiles numba code, for a minute, that the service would otherwise compile at its first start.
RUN python -c "import rembg"

# Only what the download needs, so that another change of the code does not repeat it.
COPY errors.py job.py settings.py ./
COPY models ./models
RUN python -m models pull u2net && install -D --mode 644 --target-directory /opt/rembg/share/.u2net \
        "$REMBG_HOME/models/u2net/u2net.onnx" && rm -r "$REMBG_HOME"

COPY . ./
RUN python -c "import models.resample" && python -m compileall -q .


FROM python:3.11-slim
# NUMBA_CPU_NAME as in the build: what was compiled there then fits every processor that this image runs on.
# Weights are looked for in REMBG_HOME, where more can be downloaded to, and in $XDG_DATA_HOME/.u2net, which is baked in.
ENV PATH=/opt/rembg/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CPU_NAME=generic \
    ORT_DISABLE_TELEMETRY=1 \
    HOME=/data \
    HOST=0.0.0.0 \
    PORT=5000 \
    QUEUE_DATA_DIR=/data \
    REMBG_HOME=/data/weights \
    XDG_DATA_HOME=/opt/rembg/share
RUN groupadd --system --gid 10001 rembg \
    && useradd --system --uid 10001 --gid rembg --home-dir /data --no-create-home rembg \
    && install -d -o rembg -g rembg /data
COPY --from=build /opt/rembg /opt/rembg
WORKDIR /opt/rembg/service
USER 10001:10001
VOLUME /data
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"]
ENTRYPOINT ["/opt/rembg/service/deploy/entrypoint.sh"]
CMD ["python", "app.py"]
