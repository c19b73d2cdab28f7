# SeaweedFS in two processes. Only its S3 interface is open to other containers, and it requires credentials,
# except to read the report, which browsers open.
# Its internal gRPC port requires a client certificate that no other container has.
set -eu
umask 077
credentials=/object-store-credentials/credentials
setting() { sed -n "s/^$1 *= *//p" "$credentials"; }
cat > /tmp/s3.json <<JSON
{"identities": [{"name": "songmill", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$(setting aws_access_key_id)", "secretKey": "$(setting aws_secret_access_key)"}]},
  {"name": "anonymous", "actions": ["Read:music/tables/report/*"]}]}
JSON
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=object-store \
  -keyout /tmp/parts.key -out /tmp/parts.pem 2> /tmp/openssl.log || { cat /tmp/openssl.log; exit 1; }
{
  echo '[grpc]'
  echo 'ca = "/tmp/parts.pem"'
  for part in master volume filer s3 client; do
    printf '[grpc.%s]\ncert = "/tmp/parts.pem"\nkey = "/tmp/parts.key"\n' "$part"
  done
} > /tmp/security.toml
run() { exec weed -config_dir=/tmp -logdir=/tmp -log_max_size_mb=16 -alsologtostderr=false -stderrthreshold=1 "$@"; }
# The volumes, which hold the objects, and the server that assigns them.
run server -dir=/data -ip=127.0.0.1 -ip.bind=127.0.0.1 -volume.max=0 -volume.preStopSeconds=0 -master.volumeSizeLimitMB=1024 &
volumes=$!
# The filer, which holds the objects' names, with the S3 interface.
run filer -master=127.0.0.1:9333 -defaultStoreDir=/data -ip=127.0.0.1 -ip.bind=127.0.0.1 \
  -s3 -s3.iam=false -s3.ip.bind=0.0.0.0 -s3.port=8333 -s3.port.iceberg=0 -s3.port.lance=0 -s3.config=/tmp/s3.json &
filer=$!
# The filer goes first, while the volumes still take what it writes. On SIGTERM it accepts no more requests, but waits
# 15 s for a subscription to itself. It is killed after a second: every change of its database is in a journal.
end() {
  kill -TERM "$filer" && sleep 1 && kill -KILL "$filer"
  wait "$filer"
  kill -TERM "$volumes" && wait "$volumes"
} 2> /dev/null
set +e
trap 'end; exit 0' TERM
wait -n
echo "weed has ended by itself" >&2
end
exit 1
