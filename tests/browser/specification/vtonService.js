import { getAuthToken } from '@/lib/supabase'; // Sesuaikan path import

// Fungsi helper untuk jeda waktu saat polling
const delay = (ms) => new Promise(resolve => setTimeout(resolve, ms));

/**
 * Fungsi utama untuk menjalankan proses Try-On.
 * @param {File} userImageFile - File gambar dari input <input type="file">.
 * @param {string} garmentId - ID UUID dari pakaian yang dipilih.
 * @param {function} onStatusChange - Callback untuk update UI (opsional).
 * @param {function} onSuccess - Callback saat berhasil (opsional).
 * @param {function} onError - Callback saat error (opsional).
 */
export async function handleTryOn(userImageFile, garmentId, { onStatusChange, onSuccess, onError }) {
  const token = await getAuthToken();
  if (!token) {
    onError("Anda harus login terlebih dahulu.");
    return;
  }

  try {
    // --- A. Kirim Request dan Dapatkan Session ID ---
    const formData = new FormData();
    formData.append('userImage', userImageFile);
    formData.append('garmentId', garmentId);

    const initialResponse = await fetch(`${import.meta.env.VITE_BACKEND_URL}/api/try-on`, {
      method: 'POST',
      headers: { 'Authorization': `Bearer ${token}` },
      body: formData,
    });

    const initialData = await initialResponse.json();
    if (!initialData.success) throw new Error(initialData.message);
    
    const { sessionId } = initialData.data;
    onStatusChange?.('queued'); // Update UI: "Permintaan diterima, mengantri..."

    // --- B. Polling untuk Mendapatkan Hasil ---
    let resultData;
    while (true) {
      const statusResponse = await fetch(`${import.meta.env.VITE_BACKEND_URL}/api/try-on/${sessionId}/status`, {
        headers: { 'Authorization': `Bearer ${token}` },
      });

      const statusResult = await statusResponse.json();
      if (!statusResult.success) throw new Error(statusResult.message);
      
      resultData = statusResult.data;
      onStatusChange?.(resultData.status); // Update UI: "Memproses..."

      if (resultData.status === 'success') break;
      if (resultData.status === 'failed') throw new Error(resultData.error_message || 'Proses gagal.');
      
      await delay(2000); // Tunggu 2 detik sebelum cek lagi
    }

    // --- C. Tampilkan Hasil ---
    onSuccess?.(resultData.resultImageUrl);

  } catch (error) {
    console.error("Error during try-on:", error);
    onError?.(error.message);
  }
}
