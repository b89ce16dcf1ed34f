"""Property tests here judge values, not speed: a busy machine must not fail one."""

from hypothesis import settings

settings.register_profile("values_not_speed", deadline=None)
settings.load_profile("values_not_speed")
