# PostgreSQL, with the database "music" and the user "songmill" made on first start.
set -eu
umask 077
if [ ! -s /data/postgres/PG_VERSION ]; then
  rm -rf /data/new
  initdb --pgdata=/data/new --username=songmill --pwfile=/database-credentials/password \
    --auth-local=scram-sha-256 --auth-host=scram-sha-256 --encoding=UTF8 --locale=C > /tmp/initdb.log 2>&1 \
    || { cat /tmp/initdb.log; exit 1; }
  echo "host all all all scram-sha-256" >> /data/new/pg_hba.conf
  echo "CREATE DATABASE music" | postgres --single -D /data/new postgres > /tmp/initdb.log 2>&1
  # It ends with 0 whatever has become of the statement.
  if grep -E "ERROR|FATAL|PANIC" /tmp/initdb.log; then exit 1; fi
  # A first start that is killed half way is begun anew.
  mv /data/new /data/postgres
fi
exec postgres -D /data/postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=128MB
