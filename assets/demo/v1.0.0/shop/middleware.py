"""What is done around every request."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

import shop


def version_header(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Says on every answer which version gave it: during a deployment there are two."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["X-Shop-Version"] = shop.__version__
        return response

    return middleware
