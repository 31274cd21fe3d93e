// Shows what an order will cost while the number of packs is typed.
for (const field of document.querySelectorAll("input[data-price]")) {
  const total = field.form.querySelector("output");
  const show = () => {
    const packs = Number.parseInt(field.value, 10);
    total.value = packs > 0 ? `£${(packs * Number(field.dataset.price)).toFixed(2)}` : "";
  };
  field.addEventListener("input", show);
  show();
}
