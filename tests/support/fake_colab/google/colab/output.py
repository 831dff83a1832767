"""A browser that evaluates one expression: the proxy URL of a port of the kernel."""

import re


def eval_js(script, ignore_result=False, timeout_sec=None):
    (port,) = re.findall(r"google\.colab\.kernel\.proxyPort\((\d+)", script)
    return f"https://{port}-fake.colab.example/"
