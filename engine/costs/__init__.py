"""What work takes and costs on a machine: catalogue, calibration, prediction, prices and bills.

Which machine to choose is in `advisor`, what this machine is in `hardware`. May import `hardware`
and `rendering`.
"""
