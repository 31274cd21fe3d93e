"""What every template can show."""

from django.http import HttpRequest

import shop


def version(request: HttpRequest) -> dict[str, str]:
    return {"shop_version": shop.__version__}
