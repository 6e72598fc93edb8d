// Keeps images and objects in this browser when asked to, and forgets them when told.

const [NAME, STORE, KEY] = ["pasam", "images", "pasam-keep"];

export const isKept = () => localStorage.getItem(KEY) === "yes";

function opened() {
  return new Promise((done, fail) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(new Error(`This browser keeps nothing: ${request.error?.message}.`));
  });
}

async function within(mode, work) {
  const database = await opened();
  try {
    return await new Promise((done, fail) => {
      const transaction = database.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => done(request?.result);
      transaction.onabort = () => fail(new Error(
        `The images could not be kept in this browser: ${transaction.error?.message ?? "there is no room"}.`));
    });
  } finally {
    database.close();
  }
}

// Keep an image with its objects: {id, name, order, blob, objects}.
export const keep = (record) => within("readwrite", (store) => store.put(record));
export const drop = (id) => within("readwrite", (store) => store.delete(id));

export async function kept() {
  const records = await within("readonly", (store) => store.getAll());
  return records.toSorted((a, b) => a.order - b.order);
}

// Whether to keep from now on; turned off, everything that was kept is deleted.
export async function setKept(wanted) {
  localStorage.setItem(KEY, wanted ? "yes" : "no");
  if (!wanted) await within("readwrite", (store) => store.clear());
}
