"""What a customer may send."""

from typing import Any

from django import forms

from catalog.models import Product


class OrderForm(forms.Form):
    product = forms.ModelChoiceField(Product.objects.filter(is_active=True), to_field_name="sku")
    quantity = forms.IntegerField(min_value=1, max_value=1000)
    email = forms.EmailField()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        product, quantity = cleaned.get("product"), cleaned.get("quantity")
        if product and quantity and quantity > product.stock:
            self.add_error("quantity", f"There are only {product.stock} packs left.")
        return cleaned
