"""What holds for all tests: examples of property tests are not timed, wherever they are."""

from hypothesis import HealthCheck, settings

# How fast examples are drawn and run is a matter of the machine and of who else works on it; what they show is not. So no test
# says that for itself (`test_repo.py` holds them to it). The rest is as it is without this: with `CI=true` Hypothesis takes the
# same examples every time.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
