# The images of Gamecast's programs, and of Kafka Connect with what Gamecast needs of it:
#
#   docker build --target operator --tag gamecast/operator:0.1.0 .
#
# Targets: operator, fanout, api (with the page), connect. Each holds one program, the libraries it is
# linked with and the authorities of public certificates: no shell, no package manager, nothing that
# is to be written. It runs as 65532 and takes a read-only root.
#
# images/build makes the same images where no registry can be reached: it puts what is built already
# in the place of the stages `programs-root` and `connect-root`.

ARG RUST=1.95
ARG NODE=22
ARG JAVA=17

FROM docker.io/library/node:${NODE}-bookworm AS page
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc* ./
RUN npm ci --no-audit --no-fund
COPY web .
RUN npm run build
RUN mkdir /sbom && npm run -s sbom >/sbom/page.cdx.json

FROM docker.io/library/rust:${RUST}-bookworm AS programs-root
WORKDIR /src
COPY . .
COPY --from=page /src/web/dist web/dist
RUN cargo build --release --locked -p operator -p fanout -p api
RUN images/programs-sbom target/sbom
COPY --from=page /sbom target/sbom
RUN images/programs-root target/release target/sbom /

FROM docker.io/library/maven:3-eclipse-temurin-${JAVA} AS connect-root
WORKDIR /src
# `strip` and `ldd` are jlink's and the scripts'.
RUN apt-get update && apt-get install -y --no-install-recommends binutils python3 && rm -rf /var/lib/apt/lists/*
COPY devstack/maven/pom.xml devstack/maven/
RUN mvn -B -q -f devstack/maven/pom.xml -P kafka dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/jars/kafka \
 && mvn -B -q -f devstack/maven/pom.xml -P debezium dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/jars/plugins/debezium-mysql
COPY Cargo.toml .
COPY images/connect-sbom images/connect-root images/libraries images/log4j2.properties images/
RUN images/connect-sbom /jars/sbom
RUN images/connect-root /jars/kafka /jars/plugins /jars/sbom /

FROM scratch AS operator
ARG VERSION=0.1.0
ARG REVISION=unknown
COPY --from=programs-root /operator /
USER 65532:65532
EXPOSE 9080
ENTRYPOINT ["/operator"]
LABEL org.opencontainers.image.title="Gamecast operator" \
      org.opencontainers.image.description="Makes of each Game and Feed its table, connector, topic and route" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM scratch AS fanout
ARG VERSION=0.1.0
ARG REVISION=unknown
COPY --from=programs-root /fanout /
USER 65532:65532
EXPOSE 8081 9081
ENTRYPOINT ["/fanout"]
LABEL org.opencontainers.image.title="Gamecast fanout" \
      org.opencontainers.image.description="Serves Kafka topics to browsers by WebSocket, MQTT and Server-Sent Events" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM scratch AS api
ARG VERSION=0.1.0
ARG REVISION=unknown
COPY --from=programs-root /api /
USER 65532:65532
EXPOSE 8080 9082
ENV GAMECAST_API_WEB_DIR=/page
ENTRYPOINT ["/api"]
CMD ["serve"]
LABEL org.opencontainers.image.title="Gamecast api" \
      org.opencontainers.image.description="Makes games, takes odds, and serves the page" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM scratch AS connect
ARG VERSION=0.1.0
ARG REVISION=unknown
COPY --from=connect-root /connect /
USER 65532:65532
EXPOSE 8083
# Java's own files of the process lie in /tmp, which is to be a volume.
ENTRYPOINT ["/java/bin/java", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", \
            "-Dlog4j2.configurationFile=/log4j2.properties", "-cp", "/kafka/*", \
            "org.apache.kafka.connect.cli.ConnectDistributed"]
CMD ["/etc/gamecast/connect.properties"]
LABEL org.opencontainers.image.title="Kafka Connect for Gamecast" \
      org.opencontainers.image.description="Kafka Connect with Debezium's MySQL connector and passwords from files" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
