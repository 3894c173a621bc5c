"""A self-contained page that shows a landscape and lets it be turned, in any browser."""

from service.exports.page.document import MEDIA_TYPE, encode_page, page_policy
from service.exports.page.values import MOST_CELLS

__all__ = ["MEDIA_TYPE", "MOST_CELLS", "encode_page", "page_policy"]
