"""Answers of services, made by hand, good and bad."""

from __future__ import annotations

from web_server import arxiv


def oai(inner):
    return f'<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">{inner}</OAI-PMH>'.encode()


def listing(*records, token=None, size="3"):
    end = (
        ""
        if token is None
        else (f'<resumptionToken completeListSize="{size}">{token}</resumptionToken>')
    )
    return oai(f"<ListRecords>{''.join(records)}{end}</ListRecords>")


def record(identifier, day="2021-01-04", title="A title", abstract="Its abstract.", more=""):
    return (
        f"<record><header><identifier>oai:arXiv.org:{identifier}</identifier><datestamp>{day}"
        f'</datestamp></header><metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/">'
        f"<title>{title}</title><abstract>{abstract}</abstract>{more}</arXiv></metadata></record>"
    )


EXPIRED = arxiv.oai_error("badResumptionToken", "It has expired.").encode()
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
).encode()
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
