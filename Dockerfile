# shotcrop for CPUs, from this checkout. How to build and run it: docs/install.md
FROM python:3.13-slim AS build
WORKDIR /shotcrop
COPY . .
RUN python -m venv /opt/shotcrop \
    && /opt/shotcrop/bin/pip install --no-cache-dir '.[cpu,raw]'

FROM python:3.13-slim
# jpegtran, for --lossless
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libjpeg-turbo-progs \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 shotcrop
COPY --from=build /opt/shotcrop /opt/shotcrop
ENV PATH="/opt/shotcrop/bin:$PATH"
USER 1000
WORKDIR /home/shotcrop
ENTRYPOINT ["shotcrop"]
CMD ["--help"]
