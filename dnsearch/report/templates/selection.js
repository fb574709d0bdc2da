// The networks that were selected in one view, by key, which all views then show; null is all.

const selection = {
  keys: null,
  views: [],
  // Tells every view but the one in which they were selected.
  choose(keys, source) {
    this.keys = keys;
    for (const { view, show } of this.views) if (view !== source) show(keys);
  },
  onChange(view, show) {
    this.views.push({ view, show });
  },
};
