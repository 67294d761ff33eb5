"""Views that a host chooses on top: tilted, straightened, cropped and framed copies are found by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e_host import Host, picture
from PIL import Image

CHOSEN = "[whole, turned, box, tilted, straightened, widened, cropped]"


def without_edges(image: Image.Image, share: float) -> Image.Image:
    x, y = round(share * image.width), round(share * image.height)
    return image.crop((x, y, image.width - x, image.height - y))


@pytest.mark.long
def test_tilted_cropped_and_framed_copies_are_found_by_the_views_that_were_chosen(host: Host) -> None:
    originals = {name: picture(n, 1000, 750) for n, name in enumerate(("tilted", "cropped", "framed"), 12)}
    listed = []
    for name, original in originals.items():
        path = host.base / f"{name}.png"
        original.save(path)
        told = json.loads(host.run("check", str(path), "--json").out)["perceptual"]
        listed.append(next(one["value"] for one in told if one["view"] == "full"))
    host.save("a/tilted.jpg", originals["tilted"].rotate(-2, Image.Resampling.BICUBIC))
    host.save("a/cropped.jpg", without_edges(originals["cropped"], 0.02))
    # Of no single colour: the content box takes it for no border.
    frame = Image.radial_gradient("L").resize((1040, 780)).convert("RGB")
    frame.paste(originals["framed"], (20, 15))
    host.save("a/framed.jpg", frame)

    url = "file://" + host.list_of("pdq\n" + "\n".join(listed) + "\n", "list.csv")
    found: dict[str, dict[str, str]] = {}
    for chosen in ("[whole, turned]", CHOSEN):
        config = host.base / f"config{len(found)}.yaml"
        config.write_text(
            f"volumes: [{{name: web, path: {host.tree}}}]\nhashing: {{views: {chosen}}}\n"
            f"feeds: [{{name: police, url: '{url}', on_match: {{perceptual: report}}}}]\n"
        )
        synced = host.run("feed", "sync", config=config)
        assert synced.code == 0, synced.err
        outcome = host.scan(config=config)
        found[chosen] = {Path(hit["path"]).name: hit["match"]["view"] for hit in outcome.hits}
    assert found["[whole, turned]"] == {}
    assert {name: view[:4] for name, view in found[CHOSEN].items()} == {
        "tilted.jpg": "tilt",
        "cropped.jpg": "wide",
        "framed.jpg": "crop",
    }
