import { defineConfig } from "vite";

// Names without hashes: the binary serves each file with an ETag of its content, and a change of
// the sources changes the same few files. A dynamic import would be a file of its own; there is none.
export default defineConfig({
  base: "/console/",
  build: {
    outDir: "dist",
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    // Of what is built in: who made it, and their terms.
    license: { fileName: "licenses.md" },
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        entryFileNames: "app.js",
        assetFileNames: "app[extname]",
      },
    },
  },
  // For work on the console alone: a toolscout answers what is asked of it.
  server: { proxy: Object.fromEntries(["/v1", "/p/", "/console/settings.json", "/readyz", "/oauth", "/.well-known"].map((path) => [path, "http://127.0.0.1:7420"])) },
});
