"""CSV lists under several configurations of columns and delimiter; the first byte says which."""

from __future__ import annotations

from fuzzing import Target

from fuzz_targets._lists import HEX, WORDS, check_format
from scanner.feeds import FormatOptions
from scanner.feeds.formats import CsvFormat

_OPTIONS = (
    FormatOptions(),
    FormatOptions(delimiter=";"),
    FormatOptions(columns={"Fingerprint": "md5", "Class": "category"}),
    FormatOptions(columns={"algo": "type", "sum": "hash", "nr": "id"}, delimiter="|"),
    FormatOptions(columns={"x": "nothing of ours"}),
    FormatOptions(columns={"1": "md5:base64", "2": "sha1:base32", "3": "category"}, header=False),
    FormatOptions(values={"category": {"a": "1", "b": "0"}}),
)


def check(data: bytes) -> None:
    check_format(CsvFormat(), data[1:], _OPTIONS[data[0] % len(_OPTIONS)] if data else _OPTIONS[0])


def seeds() -> dict[str, bytes]:
    md5, sha1, pdq = HEX["md5"], HEX["sha1"], HEX["pdq"]
    return {
        "uniform": b"\0md5,sha1,category\r\n" + md5 + b"," + sha1 + b",1\r\n" + md5 + b"," + sha1 + b",2\r\n",
        "gaps": b"\0MD5;Sha-1;ID\n" + md5 + b";;a\n;" + sha1 + b";null\n",
        "quoted": b'\0"md5","id"\n"' + md5 + b'","a ""name"",\nof two lines"\n',
        "typed": b"\0type\thash\tid\nmd5\t" + md5 + b"\t1\nphotodna\tAAAA\t2\npdq\t" + pdq + b"\t3\n",
        "delimited": b"\1md5;category\n" + md5 + b";1\n",
        "mapped": b"\2fingerprint,class\n" + md5 + b",A1\n",
        "mapped_types": b"\3algo|sum|nr\nsha1|" + sha1 + b"|9\n",
        "numbered": b"\5AQIDBAUGBwgJCgsMDQ4PEA==;AEBAGBAFAYDQQCIKBMGA2DQPCAIREEYU;1\n",
        "meant": b"\6md5,category,added,labels\n" + md5 + b",a,2024-01-01,x;y\n" + md5 + b",b,1700000000,\n",
        "unknown_field": b"\4x,md5\n1," + md5 + b"\n",
    }


TARGET = Target(check, seeds, (*WORDS, b"type", b"hash", b'""', b'","', b"Fingerprint", b"photodna,"))
