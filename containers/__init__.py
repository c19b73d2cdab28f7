"""Programs that the containers of docker-compose.yml run besides songmill itself.

They know the containers' folders, and may import ``jobs``. Nothing else uses them.
"""
