"""Makes the folder that ``make device-check-pack`` makes, and holds what goes into it: see docs/device_check.md."""
