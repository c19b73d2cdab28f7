"""What the containers of docker-compose.yml run besides songmill itself; used nowhere else."""
