"""The part of the qcow2 driver that keeps clients' bitmaps, in the image or beside it."""

from __future__ import annotations

from qmpd.block import wording
from qmpd.block.bitmap import NamedBitmap
from qmpd.block.driver import Driver
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.drivers.qcow2.image import Image


class BitmapKeeper(Driver):
    """A driver whose image records writes and can store bitmaps."""

    image: Image

    def check_persistent(self, name: bytes, granularity_bits: int) -> None:
        """The image has a place for bitmaps, with limits."""
        try:
            self.image.check_new_bitmap(name, granularity_bits)
        except QmpError as error:
            told = (name.decode("utf-8", "surrogateescape"), self.node.public_name)
            raise QmpError(wording.bitmap_not_persistent(*told, error.desc)) from None

    def add_bitmap(
        self, name: bytes, granularity_bits: int, *, enabled: bool, persistent: bool
    ) -> NamedBitmap:
        """Let the image record its writes."""
        made: NamedBitmap
        if persistent:
            from qmpd.block.drivers.qcow2.bitmaps import AUTO, Bitmap

            cluster_bits = self.image.cluster_size.bit_length() - 1
            flags = AUTO if enabled else 0
            made = stored = Bitmap(name, granularity_bits, cluster_bits, flags=flags)
            self.image.bitmaps.append(stored)
        else:
            made = NamedBitmap(name, granularity_bits, enabled=enabled)
            self.image.others.append(made)
        self.node.dirty_bitmaps.insert(0, made)
        return made

    def unstore_bitmap(self, bitmap: NamedBitmap) -> None:
        """Take a persistent bitmap out of the file; raises ``OSError``."""
        for kept in self.image.bitmaps:
            if kept is bitmap:
                self.image.remove_bitmap(kept)

    def forget_bitmap(self, bitmap: NamedBitmap) -> None:
        """Stop recording in a bitmap."""
        super().forget_bitmap(bitmap)
        self.image.bitmaps = [each for each in self.image.bitmaps if each is not bitmap]
        self.image.others = [each for each in self.image.others if each is not bitmap]
