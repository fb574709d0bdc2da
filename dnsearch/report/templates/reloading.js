// The banner of a page whose run goes on. A page that was opened as a file cannot ask whether it is
// out of date: it can only be reloaded.

function reloading(written) {
  const reloads = new URLSearchParams(location.search).has("reload");
  document.getElementById(reloads ? "reload-off" : "reload-on").hidden = false;
  if (reloads) setTimeout(() => location.reload(), 60000);
  const tell = () => {
    const minutes = Math.floor((Date.now() - new Date(written.dateTime)) / 60000);
    written.textContent = minutes < 1 ? "just now" : minutes < 120 ? `${minutes} min ago` : new Date(written.dateTime).toLocaleString();
  };
  tell();
  setInterval(tell, 20000);
}

if (document.getElementById("written")) reloading(document.getElementById("written"));
