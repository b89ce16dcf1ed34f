"""Names of the plant's files under `<runtime>/plant/`, for both sides of them."""

PLANT_FOLDER = "plant"
WORLD_SOCKET = "world.sock"
ENVIRONMENT_FILE = "environment_state"
