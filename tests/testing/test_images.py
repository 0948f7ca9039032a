"""Chains: what images and nodes they are made of."""

import subprocess
from pathlib import Path

import pytest

from qmpd.errors import QmpError
from qmpd.testing import QmpdProcess, QmpdThread
from qmpd.testing.images import make_chain


async def test_a_chain_is_defined_as_libvirt_does_it(qmpd):
    chain = await qmpd.chain("base", "mid", "top", size="8M")
    found = {
        node["node-name"]: (node["drv"], node["ro"], node.get("backing_file"))
        for node in await qmpd.client.execute("query-named-block-nodes")
    }
    assert found == {
        "base-storage": ("file", False, None),
        "base": ("qcow2", True, None),
        "mid-storage": ("file", False, None),
        "mid": ("qcow2", True, "/images/base.qcow2"),
        "top-storage": ("file", False, None),
        "top": ("qcow2", False, "/images/mid.qcow2"),
    }
    assert [layer.name for layer in chain] == ["base", "mid", "top"]
    assert (chain.base, chain.active, len(chain)) == (chain["base"], chain["top"], 3)
    assert chain["mid"].storage == "mid-storage"
    with pytest.raises(KeyError):
        chain["nobody"]


async def test_a_client_may_define_the_nodes_itself(qmpd):
    chain = await qmpd.chain("base", "top", define=False)
    assert await qmpd.client.execute("query-named-block-nodes") == []
    for definition in chain.definitions:
        await qmpd.client.execute("blockdev-add", definition)
    assert len(await qmpd.client.execute("query-named-block-nodes")) == 4


async def test_a_name_is_given_once(qmpd):
    await qmpd.chain("base")
    with pytest.raises(QmpError, match=r"/images/base\.qcow2"):
        await qmpd.chain("base")


@pytest.mark.parametrize("kind", [QmpdThread, QmpdProcess])
def test_images_on_disk_are_there_until_the_end(kind):
    with kind(storage="host") as qmpd:
        chain = qmpd.chain("base", "top", size="1M")
        assert Path(chain.base).read_bytes()[:4] == b"QFI\xfb"
    assert not Path(chain.base).exists()


@pytest.mark.parametrize("size", [512, "64k", "100k", "3M", "64M"])
def test_what_layers_hold_fits_into_any_size(tmp_path, size):
    chain = make_chain(None, str(tmp_path), [f"n{at}" for at in range(5)], size, None)
    assert [layer.path for layer in chain] == [str(tmp_path / f"n{at}.qcow2") for at in range(5)]


@pytest.mark.oracle
def test_the_original_reads_what_was_made(tmp_path):
    data = {"base": [(0, "1M", 0x11)], "mid": [("512k", "64k", 0x22)]}
    chain = make_chain(None, str(tmp_path), ["base", "mid"], "2M", data)
    for layer in chain:
        subprocess.run(["qemu-img", "check", "-q", layer], check=True)
    script = ["read -P 0x11 0 512k", "read -P 0x22 512k 64k", "read -P 0x11 576k 448k"]
    words = [word for command in [*script, "read -P 0 1M 1M"] for word in ("-c", command)]
    done = subprocess.run(
        ["qemu-io", "-r", *words, chain.active.path], check=True, capture_output=True, text=True
    )
    assert "Pattern verification failed" not in done.stdout
