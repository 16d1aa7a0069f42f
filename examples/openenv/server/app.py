"""General Points, served by OpenEnv: `uvicorn server.app:app --port 8000`."""

from envs.protocols.openenv_server import Served, make_app

app = make_app(Served("amft/GeneralPoints-v0", {"size": [300, 300], "attempts": 3}))
