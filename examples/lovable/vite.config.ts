import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  server: { port: 8080 },
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
});
