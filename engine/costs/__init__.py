"""What work takes and costs on a machine: catalogue, calibration, prediction, prices and bills.

Which machine to take is in `advisor`. May import `hardware` and `rendering`.
"""
