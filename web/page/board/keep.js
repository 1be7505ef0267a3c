// Lists that are told anew: what has not changed stays the same element, with the reader's focus in it.

/** Make the children of `parent` be those for `items`, in their order. */
export function keep(parent, items, makeItem) {
  const old = new Map([...parent.children].map((child) => [child.kept, child]));
  const wanted = items.map((item) => {
    const kept = JSON.stringify(item);
    const child = old.get(kept) ?? Object.assign(makeItem(item), { kept });
    old.delete(kept);
    return child;
  });
  for (const child of old.values()) child.remove();
  wanted.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}
