// Names the visitor to the server where no cookie is taken: a key of the page's own, as a header of every request.
(() => {
  // In storage, so that it outlives a reload; in memory where storage is refused too.
  const fresh = () =>
    [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, '0')).join('');
  let key;
  try {
    key = sessionStorage.getItem('bsig_visitor') || fresh();
    sessionStorage.setItem('bsig_visitor', key);
  } catch { key = fresh(); }
  const plain = window.fetch;
  window.fetch = (target, options) => {
    const address = new URL(target instanceof Request ? target.url : target, location.href);
    if (address.origin !== location.origin) return plain(target, options);
    const headers = new Headers((options && options.headers) || (target instanceof Request ? target.headers : {}));
    headers.set('X-Bsig-Visitor', key);
    return plain(target, {...options, headers});
  };
})();
