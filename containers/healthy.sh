# Health check of a container: succeed if the command in the arguments does.
# The check is due every two seconds, so that other containers wait no longer than necessary. Every check costs
# processes, so after a success the next one waits for a minute first. (Docker 25 has start_interval for that.)
set -u
healthy=${TMPDIR:-/tmp}/healthy

# Succeed if an HTTP server answers with the status 200. Arguments: PORT PATH.
answers() {
  exec 3<> "/dev/tcp/127.0.0.1/$1" || return
  printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
  read -r -t 5 _ status _ <&3 && [ "$status" = 200 ]
}

if [ -e "$healthy" ]; then sleep 60; fi
if "$@"; then touch "$healthy"; else rm -f "$healthy"; exit 1; fi
