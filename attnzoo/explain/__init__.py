"""`attnzoo attend`: where a model attends, for people and as data, and whether that means anything."""

from attnzoo.explain.alignment import Alignment, align, draw
from attnzoo.explain.attention import Attention, attend
from attnzoo.explain.faithfulness import Faithfulness, faithfulness
from attnzoo.explain.image import ImageAttention, attend_images, draw_image
from attnzoo.explain.page import write_page

__all__ = [
    "Alignment",
    "Attention",
    "Faithfulness",
    "ImageAttention",
    "align",
    "attend",
    "attend_images",
    "draw",
    "draw_image",
    "faithfulness",
    "write_page",
]
