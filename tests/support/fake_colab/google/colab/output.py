"""A browser that answers the one question that it is asked: where a port of the kernel is."""

import re


def eval_js(script, ignore_result=False, timeout_sec=None):
    (port,) = re.findall(r"google\.colab\.kernel\.proxyPort\((\d+)", script)
    return f"https://{port}-fake.colab.example/"
