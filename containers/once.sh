# Run a command once and keep the container: `docker compose up --exit-code-from` stops when any container exits.
set -eu
"$@"
touch /tmp/done
exec sleep infinity
