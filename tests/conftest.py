"""What holds for all tests: examples of property tests are not timed, wherever they are."""

from hypothesis import HealthCheck, settings

# How fast examples are drawn and run is a matter of the machine and of who else works on it; what they show is not. So no test
# says that for itself (`test_repo.py` holds them to it). The rest is as it is without this: with `CI=true` Hypothesis takes the
# same examples every time.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A quarter of the examples, where a test does not say how many it needs: for `make check`, which is run after every change.
settings.register_profile("brief", settings.get_profile("untimed"), max_examples=25)
