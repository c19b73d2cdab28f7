"""Publications that define features."""

DAVIS_1980 = (
    "Davis, S. B., and P. Mermelstein. Comparison of parametric representations for monosyllabic"
    " word recognition in continuously spoken sentences. IEEE Transactions on Acoustics, Speech,"
    " and Signal Processing 28(4), 1980."
)
DRIEDGER_2014 = (
    "Driedger, J., M. Müller, and S. Disch. Extending harmonic-percussive separation of audio"
    " signals. ISMIR 2014."
)
ELLIS_2007 = (
    "Ellis, D. P. W. Chroma feature analysis and synthesis. Columbia University, LabROSA, 2007."
)
GROSCHE_2010 = (
    "Grosche, P., M. Müller, and F. Kurth. Cyclic tempogram - A mid-level tempo representation for"
    " music signals. ICASSP 2010."
)
HARTE_2006 = (
    "Harte, C., M. Sandler, and M. Gasser. Detecting harmonic change in musical audio. ACM"
    " Workshop on Audio and Music Computing Multimedia 2006."
)
JIANG_2002 = (
    "Jiang, D.-N., L. Lu, H.-J. Zhang, J.-H. Tao, and L.-H. Cai. Music type classification by"
    " spectral contrast feature. ICME 2002."
)
KLAPURI_2006 = (
    "Klapuri, A., and M. Davy (eds.). Signal Processing Methods for Music Transcription. Springer,"
    " 2006, chapter 5."
)
LEE_2009 = (
    "Lee, C.-H., J.-L. Shih, K.-M. Yu, and H.-S. Lin. Automatic music genre classification based on"
    " modulation spectral analysis of spectral and cepstral features. IEEE Transactions on"
    " Multimedia 11(4), 2009."
)
PAMPALK_2002 = (
    "Pampalk, E., A. Rauber, and D. Merkl. Content-based organization and visualization of music"
    " archives. ACM Multimedia 2002."
)
TZANETAKIS_2002 = (
    "Tzanetakis, G., and P. Cook. Musical genre classification of audio signals. IEEE Transactions"
    " on Speech and Audio Processing 10(5), 2002."
)
