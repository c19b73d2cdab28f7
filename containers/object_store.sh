# SeaweedFS in one process. Only its S3 interface is open to other containers, and it requires credentials.
# Its internal gRPC port requires a client certificate that no other container has.
set -eu
umask 077
credentials=/object-store-credentials/credentials
setting() { sed -n "s/^$1 *= *//p" "$credentials"; }
cat > /tmp/s3.json <<JSON
{"identities": [{"name": "songmill", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$(setting aws_access_key_id)", "secretKey": "$(setting aws_secret_access_key)"}]}]}
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
exec weed -config_dir=/tmp -logdir=/tmp -log_max_size_mb=16 -alsologtostderr=false -stderrthreshold=1 \
  server -dir=/data -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer -volume.max=0 -master.volumeSizeLimitMB=1024 \
  -s3 -s3.iam=false -s3.ip.bind=0.0.0.0 -s3.port=8333 -s3.port.iceberg=0 -s3.port.lance=0 -s3.config=/tmp/s3.json
