"""How long work takes and what it costs: catalogue, calibration, prediction, prices and bills.

Which machine to choose is decided in `advisor`; this machine's hardware is detected in `hardware`.
May import `hardware` and `rendering`.
"""
