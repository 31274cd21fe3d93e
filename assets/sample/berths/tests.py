from django.test import TestCase

from .models import Berth


class BerthTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        Berth.objects.create(name="Quay", metres=24)
        Berth.objects.create(name="Jetty", metres=9)

    def test_only_berths_that_fit_are_listed(self):
        answer = self.client.get("/", {"length": "12"})
        self.assertEqual(answer.json(), {"berths": ["Quay (24 m)"]})

    def test_a_boat_as_long_as_the_berth_fits(self):
        answer = self.client.get("/", {"length": "9"})
        self.assertEqual(answer.json(), {"berths": ["Jetty (9 m)", "Quay (24 m)"]})

    def test_a_length_that_is_no_number_is_refused(self):
        self.assertEqual(self.client.get("/", {"length": "long"}).status_code, 400)

    def test_health_asks_the_database(self):
        self.assertEqual(self.client.get("/health").json(), {"status": "ok"})
