# One image for every process of a TuneRL installation; docker-compose.yml says which process each one is.
FROM python:3.11-slim

# Index that has a CPU build of torch, for a smaller image; empty: pip's own default.
ARG TORCH_INDEX=""

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_NUM_THREADS=1

# A compiler: torch.compile builds the packs' update with it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 tunerl \
    && install -d -o tunerl -g tunerl /var/lib/tunerl

WORKDIR /opt/tunerl
COPY constraints.txt ./
RUN pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY tunerl ./tunerl
COPY algorithms ./algorithms
COPY service ./service
RUN pip install -c constraints.txt '.[postgres,envpool]'

USER tunerl
ENV TUNERL_HOME=/var/lib/tunerl
CMD ["tunerl", "--help"]
