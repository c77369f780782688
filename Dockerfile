# One image for every stage; the command chooses. Weights are converted at build time, so a container starts at once.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 STILLHOUSE_HOME=/var/lib/stillhouse
# OpenVINO and torch need the OpenMP runtime, which the slim image lacks.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/stillhouse
COPY requirements.lock ./
RUN pip install -c requirements.lock torch==2.13.0

COPY pyproject.toml README.md LICENSE stillhouse.py ./
COPY front front
COPY core core
COPY producers producers
COPY consumers consumers
COPY models models
COPY offline offline
COPY benchmarks benchmarks
COPY filters filters
RUN pip install -c requirements.lock .

RUN useradd --create-home --uid 10001 stillhouse && install -d -o stillhouse /var/lib/stillhouse
USER stillhouse
RUN stillhouse weights
VOLUME /var/lib/stillhouse

# Every process serves its metrics here; the board has a port of its own.
EXPOSE 9100 8600
ENTRYPOINT ["stillhouse"]
CMD ["run"]
