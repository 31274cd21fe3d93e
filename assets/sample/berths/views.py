from django.db import connection
from django.http import JsonResponse

from .models import Berth


def berths(request):
    """The berths, and which of them fit a boat of `?length=` metres."""
    length = request.GET.get("length", "0")
    if not length.isdecimal():
        return JsonResponse({"error": "length is a number of metres"}, status=400)
    fitting = [str(berth) for berth in Berth.objects.all() if berth.fits(int(length))]
    return JsonResponse({"berths": fitting})


def health(request):
    """Answers 200 when the database does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})
