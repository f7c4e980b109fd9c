# seg2d3d_ros on ROS 2 Jazzy: docker build -t seg2d3d_ros .
#   docker run --rm -v "$PWD:/data" seg2d3d_ros seg2d3d bag drive.mcap --segmenter none --out map
#   docker run --rm --net host seg2d3d_ros ros2 launch seg2d3d_ros pipeline.launch.py -s
#   docker build --build-arg EXTRAS=sam,video …     # objects by text; torch makes it 8 GB larger

FROM ros:jazzy-ros-base AS build
ARG EXTRAS=
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv python3-colcon-common-extensions \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/seg2d3d
# The environment first: it changes less often than the sources.
RUN python3 -m venv --system-site-packages venv
COPY setup.py setup.cfg pyproject.toml package.xml README.md /opt/seg2d3d/src/seg2d3d_ros/
COPY seg2d3d_ros src/seg2d3d_ros/seg2d3d_ros
COPY launch src/seg2d3d_ros/launch
COPY config src/seg2d3d_ros/config
COPY resource src/seg2d3d_ros/resource
COPY LICENSE src/seg2d3d_ros/LICENSE
# pip brings what Python needs, colcon what `ros2 run` and `ros2 launch` look for.
RUN venv/bin/pip install --no-cache-dir "src/seg2d3d_ros${EXTRAS:+[$EXTRAS]}" \
    && source /opt/ros/jazzy/setup.bash \
    && source venv/bin/activate \
    && python -m colcon build --merge-install --install-base install --base-paths src

FROM ros:jazzy-ros-base
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
       ros-jazzy-vision-msgs ros-jazzy-tf2-msgs ros-jazzy-visualization-msgs ros-jazzy-diagnostic-msgs ros-jazzy-nav-msgs \
       ros-jazzy-sensor-msgs-py ros-jazzy-cv-bridge libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/seg2d3d/venv /opt/seg2d3d/venv
COPY --from=build /opt/seg2d3d/install /opt/seg2d3d/install
COPY --chmod=755 scripts/docker_entrypoint /usr/local/bin/docker_entrypoint
RUN useradd --create-home --shell /bin/bash --uid 10001 seg2d3d && install -d -o seg2d3d /data
USER seg2d3d
WORKDIR /data
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["docker_entrypoint"]
CMD ["seg2d3d", "--help"]
