# Do what is to be done once, and stay: `docker compose up --exit-code-from` ends with the first container that does.
set -eu
"$@"
touch /tmp/done
exec sleep infinity
