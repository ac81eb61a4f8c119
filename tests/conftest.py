"""What all tests share."""

pytest_plugins = ["surgery.testing"]
