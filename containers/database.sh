# PostgreSQL. The first start creates the user "songmill" and the database "music".
set -eu
umask 077
if [ ! -s /data/postgres/PG_VERSION ]; then
  rm -rf /data/new
  initdb --pgdata=/data/new --username=songmill --pwfile=/database-credentials/password \
    --auth-local=scram-sha-256 --auth-host=scram-sha-256 --encoding=UTF8 --locale=C > /tmp/initdb.log 2>&1 \
    || { cat /tmp/initdb.log; exit 1; }
  echo "host all all all scram-sha-256" >> /data/new/pg_hba.conf
  echo "CREATE DATABASE music" | postgres --single -D /data/new postgres > /tmp/initdb.log 2>&1
  # postgres --single exits with 0 even if the statement fails.
  if grep -E "ERROR|FATAL|PANIC" /tmp/initdb.log; then exit 1; fi
  # Renamed last, so that a first start that is interrupted begins again.
  mv /data/new /data/postgres
fi
exec postgres -D /data/postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=128MB
