"""Programs that the containers of docker-compose.yml run besides songmill itself.

They use the containers' folders and may import ``jobs``. Nothing else imports them.
"""
